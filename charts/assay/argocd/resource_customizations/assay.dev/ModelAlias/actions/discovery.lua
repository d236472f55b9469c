-- What can be done with a ModelAlias: roll back to the previously live version, unless it was rolled back already.
-- The menu names that version: after a revert in Git it is the newer one.
local status = obj.status or {}
local possible = status.previousVersion ~= nil and status.setAside == nil
local title = possible and ("Roll back to v" .. status.previousVersion) or "Roll back"
return {rollback = {disabled = not possible, displayName = title, iconClass = "fa fa-fw fa-undo"}}
