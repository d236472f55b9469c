-- What can be done with a ModelAlias: have it taken back to the version that was live before, unless it was already.
local status = obj.status or {}
local possible = status.previousVersion ~= nil and status.setAside == nil
return {rollback = {disabled = not possible, iconClass = "fa fa-fw fa-undo"}}
