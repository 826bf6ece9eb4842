-- A Composition has no status: whether it can be used shows in the actors.
return {status = "Healthy"}
