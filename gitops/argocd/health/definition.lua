-- Health of a CompositeResourceDefinition: its kind is served, and its claim where it offers one.
local conditions = {}
for _, condition in ipairs((obj.status or {}).conditions or {}) do
  conditions[condition.type] = condition
end
local wanted = {{"Established", "its kind is not served yet"}}
if obj.spec.claimNames ~= nil then
  wanted[2] = {"Offered", "its claim is not offered yet"}
end
for _, each in ipairs(wanted) do
  local condition = conditions[each[1]]
  if condition ~= nil and condition.reason == "TerminatingCompositeResource" then
    return {status = "Degraded", message = condition.message or "it is being removed"}
  end
  if condition == nil or condition.status ~= "True" then
    return {status = "Progressing", message = each[2]}
  end
end
return {status = "Healthy", message = "its kind is served"}
