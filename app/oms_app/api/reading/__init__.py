"""What lists and reads show: rows of one tenant in one snapshot, as JSON values; accounts out of reach stay out."""
