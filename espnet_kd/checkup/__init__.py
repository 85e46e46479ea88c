"""What a training would do, found out before it is started."""
