"""Run independent jobs in parallel, in threads or in separate processes, behind one interface."""
