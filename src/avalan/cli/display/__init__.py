"""How results look to people; the values themselves come from the rooms below."""
