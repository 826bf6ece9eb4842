-- Health of an AsyncActor (asya.sh/v1alpha1), from its phase and conditions.
local generation = obj.metadata.generation or 0
if (obj.spec or {}).resourceRef ~= nil then
  -- A claim (the v1 definition): its status is its composite's, which counts generations of its own.
  generation = 0
end
local annotations = obj.metadata.annotations or {}
if annotations["crossplane.io/paused"] == "true" then
  return {status = "Suspended", message = "paused by annotation"}
end
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  -- What was said of an older spec says nothing of this one.
  if (condition.observedGeneration or generation) >= generation then
    conditions[condition.type] = condition
  end
end
local synced = conditions["Synced"]
if synced ~= nil and synced.status == "False" then
  if synced.reason == "ReconcilePaused" then
    return {status = "Suspended", message = synced.message or "paused"}
  end
  return {status = "Degraded", message = synced.message or synced.reason}
end
-- Named by itself, as the phase's message may be another's.
local flavors = conditions["FlavorsResolved"]
if flavors ~= nil and flavors.status == "False" then
  return {status = "Degraded", message = flavors.message}
end
if (status.observedGeneration or 0) < generation then
  return {status = "Progressing", message = "waiting for this generation to be composed"}
end
if status.phase == "Degraded" then
  return {status = "Degraded", message = status.message or "degraded"}
end
local mixed = conditions["TransportMixed"]
if mixed ~= nil and mixed.status == "True" then
  return {status = "Degraded", message = mixed.message}
end
local ready = conditions["Ready"]
if ready ~= nil and ready.status == "True" then
  return {status = "Healthy", message = status.phase}
end
for _, kind in ipairs({"QueueReady", "IdentityReady", "WorkloadReady", "AutoscalerReady", "TransportMoved"}) do
  local condition = conditions[kind]
  if condition ~= nil and condition.status == "False" then
    return {status = "Progressing", message = kind .. ": " .. (condition.message or condition.reason)}
  end
end
return {status = "Progressing", message = "waiting to be ready"}
