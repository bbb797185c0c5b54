/** Echoes and talks for tests of tunnels: what goes in one end comes back from the other. */
import http2 from "node:http2";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Exchange, Json } from "./harness/case.ts";

const limitMs = 2000;

/** Gives back what it is given, `>` before each piece that is a line; ends when the other side does. */
const tcpEcho: Server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    const text = chunk.toString("latin1");
    if (text.includes("bye")) socket.end(`>${text}`);
    else socket.write(`>${text}`);
  });
  socket.on("end", () => socket.end("(end)"));
});

/** The same on tunnels of HTTP/2, after it has said what it was asked. */
const http2Echo = http2.createServer({ settings: { enableConnectProtocol: true } });
http2Echo.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
  const {
    ":method": method,
    ":protocol": protocol = "-",
    ":path": path = "-",
    ":authority": authority = "-",
  } = headers;
  stream.on("error", () => {});
  const refused = headers["x-refuse"] !== undefined;
  stream.respond(
    { ":status": refused ? 403 : 200, "x-asked": `${method} ${protocol} ${path} ${authority}` },
    { endStream: refused },
  );
  if (refused) return;
  stream.on("data", (chunk: Buffer) => stream.write(`>${chunk.toString("latin1")}`));
  stream.on("end", () => stream.end("(end)"));
});
http2Echo.on("sessionError", () => {});

const listening = async (server: Server | http2.Http2Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
};

/** Their ports, and how to end them. */
export async function startEchoes(): Promise<{ readonly tcpPort: number; readonly http2Port: number; close(): void }> {
  const [tcpPort, http2Port] = [await listening(tcpEcho), await listening(http2Echo)];
  return {
    tcpPort,
    http2Port,
    close() {
      tcpEcho.close();
      http2Echo.close();
    },
  };
}

/** Fields of a cluster at a port. */
export const at = (port: number, more: Json = {}): Json => ({
  load_assignment: {
    cluster_name: "{id}",
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } }] },
    ],
  },
  ...more,
});

/** Says each piece when the one before has been answered; gives everything that came. */
export function talk(...pieces: readonly string[]): Exchange {
  return {
    kind: "own",
    run: async (side, id) => {
      const socket = connect({ port: side.port(id), host: "127.0.0.1", allowHalfOpen: true });
      const heard = listen(socket, (chunk) => chunk.toString("latin1"));
      for (const piece of pieces) {
        if (piece === "(end)") socket.end();
        else socket.write(piece.replaceAll("{id}", id), "latin1");
        await heard.more();
      }
      const text = heard.text();
      socket.destroy();
      return text;
    },
  };
}

/** A tunnel over HTTP/2. */
export function talk2(headers: Json, ...pieces: readonly string[]): Exchange {
  return {
    kind: "own",
    run: async (side, id) => {
      const session = http2.connect(`http://127.0.0.1:${side.port(id)}`);
      session.on("error", () => {});
      await new Promise<void>((resolve) => session.once("remoteSettings", () => resolve()));
      const all = JSON.parse(
        JSON.stringify({ ":authority": "{id}.test:80", "x-case": "{id}", ...headers }).replaceAll("{id}", id),
      ) as Json;
      const stream = session.request(all as http2.OutgoingHttpHeaders, { endStream: false });
      let head = "";
      stream.on("response", (_headers, _flags, fields) => (head = JSON.stringify(fields)));
      const heard = listen(stream, (chunk) => chunk.toString("latin1"));
      await heard.untilSome(() => head !== "");
      for (const piece of pieces) {
        if (piece === "(end)") stream.end();
        else stream.write(piece, "latin1");
        await heard.more();
      }
      const text = `${head} ${heard.text()} ${stream.rstCode}`;
      session.destroy();
      return text;
    },
  };
}

interface Heard {
  text(): string;
  /** Something more has come, or nothing will. */
  more(): Promise<void>;
  untilSome(holds: () => boolean): Promise<void>;
}

function listen(stream: Socket | http2.ClientHttp2Stream, textOf: (chunk: Buffer) => string): Heard {
  let text = "";
  let seen = 0;
  let isOver = false;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of waiting) look();
  };
  stream.on("data", (chunk: Buffer) => {
    text += textOf(chunk);
    wake();
  });
  stream.on("response", wake);
  stream.on("error", () => {});
  stream.on("end", () => {
    text += "(end of stream)";
    isOver = true;
    wake();
  });
  stream.on("close", () => {
    isOver = true;
    wake();
  });
  const untilSome = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(finish, limitMs);
      function finish(): void {
        clearTimeout(timer);
        waiting.delete(look);
        resolve();
      }
      function look(): void {
        if (holds() || isOver) finish();
      }
      waiting.add(look);
      look();
    });
  return {
    text: () => text,
    untilSome,
    async more() {
      await untilSome(() => text.length > seen);
      // What belongs together may come in two pieces.
      await new Promise((resolve) => setTimeout(resolve, 60));
      seen = text.length;
    },
  };
}
