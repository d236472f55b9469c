-- An Experiment: as healthy as its search and the registration of what it found. One failed run of many is no fault.
local status = obj.status
if status == nil or status.phase == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator to process this spec"}
end
if status.phase == "Failed" then
  return {status = "Degraded", message = status.message}
end
local registered
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Registered" then
    registered = condition
  end
end
-- That no run was good enough is an answer.
local refused = registered ~= nil and registered.status == "False" and registered.reason ~= "NoRunQualifies"
if refused then
  return {status = "Degraded", message = registered.message}
end
if status.phase == "Succeeded" and registered ~= nil then
  local known = registered.status ~= "Unknown"
  return {status = known and "Healthy" or "Progressing", message = registered.message}
elseif status.phase == "Succeeded" then
  return {status = "Healthy", message = status.message}
end
local progress = (status.progress or "no") .. " runs have ended"
if status.phase == "Suspended" then
  return {status = "Suspended", message = progress}
end
if status.message ~= nil then
  progress = progress .. "; " .. status.message
end
return {status = "Progressing", message = progress}
