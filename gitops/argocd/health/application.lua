-- Health of an Application inside an app of apps: without it, waves do not wait for Applications.
local health = (obj.status or {}).health
if health == nil or health.status == nil then
  return {status = "Progressing", message = "not looked at yet"}
end
local operation = obj.status.operationState
-- Healthy with nothing applied yet: the next wave would start too early.
if health.status == "Healthy" and (obj.status.sync or {}).status ~= "Synced"
    and (operation == nil or operation.phase ~= "Succeeded") then
  return {status = "Progressing", message = "not synced yet"}
end
return {status = health.status, message = health.message}
