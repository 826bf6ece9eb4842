-- Health of a Function, Configuration or Provider (pkg.crossplane.io/v1).
local conditions = {}
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  conditions[condition.type] = condition
end
local installed, healthy = conditions["Installed"], conditions["Healthy"]
if installed ~= nil and installed.status == "False" and installed.reason ~= "UnpackingPackage" then
  if installed.reason == "InactivePackageRevision" then
    return {status = "Suspended", message = "its revision is inactive"}
  end
  return {status = "Degraded", message = installed.message or installed.reason}
end
if healthy ~= nil and healthy.status == "False" then
  local message = healthy.message or ""
  -- Its Deployment starts; a wave that met Degraded here would give up.
  if message:find("deployment is unavailable", 1, true) or message:find("has no condition of type", 1, true) then
    return {status = "Progressing", message = message}
  end
  return {status = "Degraded", message = healthy.message or healthy.reason}
end
if installed ~= nil and installed.status == "True" and healthy ~= nil and healthy.status == "True" then
  return {status = "Healthy", message = obj.status.currentRevision}
end
return {status = "Progressing", message = "the package is being installed"}
