-- Asks that the alias be taken back to the version that was live before. Nobody may ask in another name, so this has
-- to be the account by which Argo CD runs actions: its API server's, or with sync impersonation the AppProject's, such
-- as "system:serviceaccount:" .. obj.metadata.namespace .. ":assay-deployer". It needs the verb rollback.
local account = "system:serviceaccount:argocd:argocd-server"

local status = obj.status or {}
if status.previousVersion == nil or status.setAside ~= nil then
  error(obj.metadata.name .. " has no version to go back to, or has gone back already", 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
local request = status.previousVersion .. " " .. account .. "\ngeneration: " .. obj.metadata.generation
  .. "\nasked for in Argo CD"
obj.metadata.annotations["assay.dev/rollback-requested"] = request
return obj
