-- What can be done with an Experiment: pause it, and go on. Nothing that would have to prove who has asked.
local phase = obj.status and obj.status.phase
local over = phase == "Succeeded" or phase == "Failed"
local suspended = obj.spec.suspend == true
return {
  suspend = {disabled = suspended or over, iconClass = "fa fa-fw fa-pause"},
  resume = {disabled = not suspended, iconClass = "fa fa-fw fa-play"},
}
