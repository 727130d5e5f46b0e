// A plain proxy in Node, which only passes on: what `bench_api` compares the web interface's server with.
"use strict";
const http = require("node:http");

const target = new URL(process.env.API_URL);
const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 128 });

http
  .createServer((request, response) => {
    const { authorization = "" } = request.headers;
    const options = { host: target.hostname, port: target.port, path: request.url, method: request.method, agent, headers: { authorization } };
    const outgoing = http.request(options, (incoming) => {
      const { connection, "keep-alive": kept, ...headers } = incoming.headers;
      response.writeHead(incoming.statusCode, headers);
      incoming.pipe(response);
    });
    outgoing.on("error", () => response.destroy());
    outgoing.end();
  })
  .listen(Number(process.env.HTTP_PORT), "127.0.0.1");
