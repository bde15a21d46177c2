-- The policy that every target has without asking: per fault class the least harmful step first, the harsher ones only
-- when it did not help. The host looks again after each act and leaves the ladder when the fault is gone, so a line
-- is reached only if all lines above it did not help.
policy { api = 1, about = "least harm first, for every fault class" }

function heal.port_conflict(incident)
  act.adopt {}                             -- it is this backend, and nobody's yet
  act.hand_over {}                         -- it belongs to systemd, Docker, a tray app
  if act.reap {}.ok then act.start {} end  -- it was our own leftover
  act.start { other_port = true }
  give_up("the port is held by " .. (incident.evidence.holder or "a program we cannot see"))
end

function heal.dead(incident)
  act.reap {}                              -- what it left: runners, its port, GPU memory
  for _ = 2, settings.attempts do          -- the last attempt is kept for the debug part
    act.start {}                           -- the host waits longer each time
  end
end

function heal.unresponsive(incident)
  if incident.evidence.runner then act.end_runner {} end
  act.restart {}
end

function heal.access(incident)
  local status = incident.evidence.status or "401 or 403"
  leave("it is alive and refuses our key (HTTP " .. status .. "): set auth for this target")
end

function heal.device_broken(incident)      -- never a loop: only a reset or a reboot mends it
  give_up "the GPU does not obey any more: reset it or reboot this machine"
end

function heal.front_only(incident)
  act.load {}                              -- a front that lives can start a new engine
  act.reap {}                              -- what is left of the old one may hold the memory
  act.restart {}
end

function heal.stuck_state(incident)
  act.end_runner {}                        -- not a polite stop: it may be in the middle of a load
  act.restart {}
end

function heal.stalled(incident)
  act.cancel {}                            -- our own request may be what it hangs on
  act.reload { within = 5 }                -- an idle hung runner goes at once; one with a request in flight never does
  act.end_runner {}
  act.restart {}
end

function heal.erring(incident)
  for _ = 1, 3 do act.wait { seconds = incident.target.interval } end
  act.reload {}
  act.restart {}
end

function heal.store(incident)              -- no model is ever deleted to make room
  act.clean_temp {}
  if incident.evidence.kind ~= "disk_full" then act.pull {} end
  leave "its model store needs a person: look at the disk and at the model's files"
end

function heal.model_missing(incident)
  act.load {}
  act.pull {}
  leave("the model " .. (incident.model or "that the configuration asks for") .. " is not there: pull it by hand")
end

function heal.orphan_memory(incident)
  act.reap {}
  leave "a runner without a server holds memory and could not be ended"
end

function heal.cpu_fallback(incident)
  act.reload {}
  act.restart {}
  act.reload_driver {}
  give_up "it still runs on the CPU: look at the GPU's driver"
end

function heal.bad_output(incident)
  act.reload {}
  act.restart {}
  give_up "it still answers nonsense: look at its version and at the model's file"
end

function heal.degraded(incident)
  act.reload {}
  if act.wait { window = true }.ok then act.restart {} end
  leave "slower than its own history; a person should look"
end

-- When a ladder came to its end without an ending: the evidence first, then the deeper steps.
function heal.debug(incident)
  act.collect {}
  act.reap {}
  act.clean_temp {}
  act.restart { debug = true }
end
