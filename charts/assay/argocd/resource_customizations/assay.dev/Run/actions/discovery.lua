-- What can be done with a Run: do it again, once it has ended.
local phase = obj.status and obj.status.phase
local over = phase == "Succeeded" or phase == "Failed"
return {rerun = {disabled = not over, iconClass = "fa fa-fw fa-redo"}}
