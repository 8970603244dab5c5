//! The inventory at one moment: devices as columns, and how far the read may be believed.
//!
//! Reads bytes that it is handed; opens no file and no socket.
