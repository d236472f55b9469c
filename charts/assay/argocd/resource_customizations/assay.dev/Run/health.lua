-- A Run: one attempt, which ends or has ended.
local status = obj.status
if status == nil or status.phase == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator to process this run"}
end
local known = {Succeeded = "Healthy", Failed = "Degraded", Suspended = "Suspended"}
return {status = known[status.phase] or "Progressing", message = status.message or status.reason}
