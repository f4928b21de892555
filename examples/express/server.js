const express = require("express");

const app = express();
app.set("trust proxy", "loopback"); // nginx says who the visitor is, and by which protocol he came

app.get("/", (req, res) => res.json({ hello: "world", you: req.ip, protocol: req.protocol }));
app.get("/health", (req, res) => res.json({ health: "ok" }));

const server = app.listen(process.env.PORT, "127.0.0.1", (error) => {
  if (error) throw error;
});

process.on("SIGTERM", () => {
  server.close(() => process.exit()); // once everybody has his answer; end what the application holds here
  server.closeIdleConnections();
});
