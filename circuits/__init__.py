"""The actual circuits: the Allen tables of mouse V1 and the column that is built from them."""
