"""The formulas: of a row, a layer, an update and a penalty. No rows are walked here."""
