"""The nouns everyone shares: frozen, slotted, no behaviour beyond their validity."""
