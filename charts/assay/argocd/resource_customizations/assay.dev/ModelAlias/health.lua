-- A ModelAlias: Suspended while the wanted version waits for what it needs, and says for what; that is no fault, and
-- the version before goes on serving. Suspended, too, when somebody has taken it back from the version that Git wants.
-- Degraded when pods cannot serve what is live, or had to be taken back.
local status = obj.status
if status == nil or status.phase == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator to process this spec"}
end
if status.phase == "Degraded" then
  return {status = "Degraded", message = status.message}
end
if status.phase == "Held" then
  return {status = "Suspended", message = status.message}
end
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    if status.phase == "Bound" and condition.status == "True" then
      local wanted = status.boundVersion == obj.spec.version
      return {status = wanted and "Healthy" or "Suspended", message = condition.message}
    end
    return {status = "Progressing", message = condition.message}
  end
end
return {status = "Progressing", message = status.message}
