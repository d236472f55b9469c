-- A ModelVersion: whether its bytes are registered. Who has approved it is no question of health.
local status = obj.status
if status == nil or status.phase == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "waiting for the operator to process this version"}
end
-- An archived version is barred because somebody wants it so.
local known = {Ready = "Healthy", Archived = "Healthy", Failed = "Degraded"}
return {status = known[status.phase] or "Progressing", message = status.message}
