//! Pictures: filter mosaics, feature maps, patches and curves, as PNG files.
