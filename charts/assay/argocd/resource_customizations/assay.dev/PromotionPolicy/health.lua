-- A PromotionPolicy: whether it can be read. Aliases that match an unreadable policy stay blocked.
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator to process this spec"}
end
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" and condition.status == "True" then
    return {status = "Healthy", message = condition.message}
  elseif condition.type == "Ready" then
    return {status = "Degraded", message = status.message}
  end
end
return {status = "Progressing", message = "waiting for the operator to process this spec"}
