"""Reports: what stands in them (`opportunities`, `analytics`), and how they are written."""
