-- Health of a ScaledObject (keda.sh/v1alpha1). Idle at zero replicas is healthy.
local conditions = {}
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  conditions[condition.type] = condition
end
local function is(kind, status)
  return conditions[kind] ~= nil and conditions[kind].status == status
end
if is("Paused", "True") then
  return {status = "Suspended", message = conditions["Paused"].message}
end
if is("Ready", "False") then
  return {status = "Degraded", message = conditions["Ready"].message}
end
if is("Fallback", "True") then
  return {status = "Degraded", message = conditions["Fallback"].message}
end
if is("Ready", "True") then
  return {status = "Healthy", message = conditions["Ready"].message}
end
return {status = "Progressing", message = "KEDA has not looked at it yet"}
