-- A new Run by the recipe of one that has ended, as assay.planning.runs.recipe makes it: images and datasets named by the
-- digests that they had. It belongs to the account by which Argo CD writes, and to no Experiment and no Application.

-- Argo CD writes what is empty as a list, and a number as a double. Fields that mean the same when they are left out
-- are left out; what would become something else stops the action.
local omissible = {
  affinity = true, annotations = true, args = true, capabilities = true, command = true, datasets = true, env = true,
  envFrom = true, imagePullSecrets = true, initContainers = true, labels = true, limits = true, metadata = true,
  nodeSelector = true, parameters = true, ports = true, requests = true, resources = true, securityContext = true,
  tolerations = true, volumeMounts = true, volumes = true,
}

local function refuse(field, what)
  error("this run cannot be done again from here, since Argo CD cannot write its field " .. field .. ": " .. what, 0)
end

local function copied(value, field)
  if type(value) == "number" and (value >= 2 ^ 53 or value <= -2 ^ 53) then
    refuse(field, "its number is too large")
  end
  if type(value) ~= "table" then
    return value
  end
  local isList, found = value[1] ~= nil, {}
  for key, each in pairs(value) do
    found[key] = copied(each, isList and field or key)
    if isList and found[key] == nil then
      refuse(field, "an item of it is empty")
    end
  end
  if next(found) ~= nil then
    return found
  elseif field == "emptyDir" then
    return {medium = ""}
  elseif not omissible[field] then
    refuse(field, "it is empty")
  end
end

-- There is no string library. A text that begins with "a/" is not less than that, and less than "a0".
local function begins(text, first, after)
  return text >= first and text < after
end

local function ofPeople(marks)
  local found = {}
  for key, value in pairs(marks or {}) do
    local ours = begins(key, "assay.dev/", "assay.dev0")
    local tracking = begins(key, "argocd.argoproj.io/", "argocd.argoproj.io0")
      or begins(key, "app.kubernetes.io/instance", "app.kubernetes.io/instancf")
      or begins(key, "kubectl.kubernetes.io/", "kubectl.kubernetes.io0")
    if not ours and not tracking then
      found[key] = value
    end
  end
  return next(found) ~= nil and found or nil
end

local phase = obj.status and obj.status.phase
if phase ~= "Succeeded" and phase ~= "Failed" then
  error("run " .. obj.metadata.name .. " has not finished: wait for its end before you rerun it", 0)
end

obj.spec.owner, obj.spec.rerunOf = nil, nil
local spec = copied(obj.spec, "spec")

local digests = {}
for _, image in ipairs(obj.status.images or {}) do
  -- An image that was never pulled has an id alone, and nobody can pull it by that. One that was named by a digest is
  -- named by the digest that was pulled: the same bytes.
  local pulled = image.digest and not begins(image.digest, "sha256:", "sha256;") and image.digest
  digests[image.container] = pulled or nil
end
local pod = spec.job.template.spec
for _, containers in ipairs({pod.containers or {}, pod.initContainers or {}}) do
  for _, container in ipairs(containers) do
    container.image = digests[container.name] or container.image
  end
end

for _, known in ipairs(obj.status.datasets or {}) do
  for _, dataset in ipairs(spec.datasets or {}) do
    if dataset.name == known.name then
      dataset.digest = dataset.digest or known.digest
    end
  end
end

local labels = obj.metadata.labels or {}
spec.rerunOf = {name = obj.metadata.name, uid = obj.metadata.uid, experiment = labels["assay.dev/experiment"]}

-- A Run's name has 57 characters at most, and the API server adds five.
local name = #obj.metadata.name <= 45 and obj.metadata.name .. "-rerun-" or "rerun-"
local rerun = {
  apiVersion = obj.apiVersion,
  kind = obj.kind,
  metadata = {
    generateName = name,
    namespace = obj.metadata.namespace,
    labels = ofPeople(obj.metadata.labels),
    annotations = ofPeople(obj.metadata.annotations),
  },
  spec = spec,
}
return {{operation = "create", resource = rerun}}
