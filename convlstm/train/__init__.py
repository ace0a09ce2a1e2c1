"""How a network learns: the loop, its losses and schedules, and its checkpoints."""
