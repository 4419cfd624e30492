"""From files to ranked passages: documents → chunks → index → passages, with exact offsets."""
