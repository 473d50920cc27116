"""How a file becomes rows: formats, cells and their forms, and the schema that encodes tables as matrices."""
