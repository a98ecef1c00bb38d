"""Training one net: settings, schedule, loop, snapshots, alarms, device, memory. It knows no stages."""
