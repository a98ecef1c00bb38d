"""Training one net: settings, schedule, loop, snapshots, alarms, device and memory. Nothing here knows of stages."""
