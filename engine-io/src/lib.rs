//! Engine.IO v4 server: long-polling, WebSocket, upgrade, heartbeat, limits.
