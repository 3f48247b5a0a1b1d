//! Messages 620 to 641 between our clients and our towers.
