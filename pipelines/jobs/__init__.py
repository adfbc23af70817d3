"""Jobs and schedules of any platform: how they are described, watched and explained."""
