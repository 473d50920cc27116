"""Where rows live: in memory (`resident`), in files (`files`), and the schema that turns tables into rows."""
