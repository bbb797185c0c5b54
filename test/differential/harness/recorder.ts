/** Upstreams that record what they are sent, byte for byte, and answer as their case says. */
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { idIn } from "./bootstrap.ts";
import type { Answer, BackendName, Case, Http2Answer, Step } from "./case.ts";
import { playSteps, Received } from "./steps.ts";

export interface Seen {
  readonly id: string;
  /** `a: GET / HTTP/1.1 …`: who, and all of it. */
  readonly text: string;
}

export interface Recorder {
  readonly ports: ReadonlyMap<BackendName, number>;
  readonly seen: readonly Seen[];
  /** Waits until a case's upstreams have seen so many requests. */
  untilSeen(id: string, count: number): Promise<void>;
  close(): Promise<void>;
}

const http1Backends = ["a", "b", "c"] as const;

export async function startRecorder(caseOf: (id: string) => Case | undefined): Promise<Recorder> {
  const seen: Seen[] = [];
  const waiting = new Set<() => void>();
  const attempts = new Map<string, number>();
  const record = (id: string, text: string): void => {
    seen.push({ id, text });
    for (const look of waiting) look();
  };
  const attempt = (key: string): number => {
    const count = attempts.get(key) ?? 0;
    attempts.set(key, count + 1);
    return count;
  };
  const sockets = new Set<Socket>();
  const servers: (Server | Http2Server)[] = [];
  const ports = new Map<BackendName, number>([["none", 1]]);
  for (const name of http1Backends) {
    const server = createServer((socket) => {
      new Http1Backend(name, socket, record, (id) => answerOf(caseOf(id), name, attempt(`${name} ${id}`)));
    });
    servers.push(server);
    ports.set(name, await listening(server));
  }
  const http2 = createHttp2Server({ settings: { enableConnectProtocol: true } });
  http2.on("stream", (stream, headers) => {
    serveHttp2(stream as ServerHttp2Stream, headers as Readonly<Record<string, string>>, record, (id) => {
      const given = caseOf(id)?.http2Answers ?? [];
      return given[Math.min(attempt(`h ${id}`), given.length - 1)] ?? {};
    });
  });
  http2.on("sessionError", () => {});
  servers.push(http2);
  ports.set("h", await listening(http2));
  for (const server of servers) {
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
  }
  return {
    ports,
    seen,
    untilSeen: (id, count) =>
      new Promise((resolve) => {
        const timer = setTimeout(finish, 5000);
        function finish(): void {
          clearTimeout(timer);
          waiting.delete(look);
          resolve();
        }
        function look(): void {
          if (seen.filter((one) => one.id === id).length >= count) finish();
        }
        waiting.add(look);
        look();
      }),
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

async function listening(server: Server | Http2Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

function answerOf(one: Case | undefined, name: BackendName, attempt: number): Answer {
  const ok = `HTTP/1.1 200 OK\r\nx-backend: ${name}\r\ncontent-length: 2\r\n\r\nok`;
  const given = one?.answers;
  if (given === undefined) return ok;
  const mine = typeof given === "string" || Array.isArray(given) || "steps" in given ? given : pick(given, name);
  if (mine === undefined) return ok;
  const list = (Array.isArray(mine) ? mine : [mine]) as readonly Answer[];
  return list[Math.min(attempt, list.length - 1)] ?? ok;
}

function pick(given: object, name: BackendName): Answer | readonly Answer[] | undefined {
  return (given as Partial<Record<BackendName, Answer | readonly Answer[]>>)[name];
}

/** Reads requests one after the other as their own framing says; after a 101 everything is echoed. */
class Http1Backend {
  readonly #name: BackendName;
  readonly #socket: Socket;
  readonly #record: (id: string, text: string) => void;
  readonly #answer: (id: string) => Answer;
  readonly #received = new Received();
  #text = "";
  #isBusy = false;
  #isOpaque = false;

  constructor(
    name: BackendName,
    socket: Socket,
    record: (id: string, text: string) => void,
    answer: (id: string) => Answer,
  ) {
    this.#name = name;
    this.#socket = socket;
    this.#record = record;
    this.#answer = answer;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    socket.on("data", (chunk) => {
      const text = chunk.toString("latin1");
      this.#received.add(text);
      if (this.#isOpaque) socket.write(chunk);
      else {
        this.#text += text;
        this.#next();
      }
    });
  }

  #next(): void {
    if (this.#isBusy) return;
    const headEnd = this.#text.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const head = this.#text.slice(0, headEnd + 4);
    const id = idIn(head) ?? "unknown";
    this.#isBusy = true;
    const answer = this.#answer(id);
    if (typeof answer === "object" && answer.at === "head") {
      this.#record(id, `${this.#name}: ${head}`);
      this.#text = this.#text.slice(head.length);
      this.#play(answer.steps);
    } else this.#whenWhole(head, id, typeof answer === "string" ? [answer] : answer.steps);
  }

  #whenWhole(head: string, id: string, steps: readonly Step[]): void {
    const length = bodyLength(head, this.#text.slice(head.length));
    if (length === undefined) {
      this.#socket.once("data", () => this.#whenWhole(head, id, steps));
      return;
    }
    const end = head.length + length;
    this.#record(id, `${this.#name}: ${unframed(head, this.#text.slice(head.length, end))}`);
    this.#text = this.#text.slice(end);
    this.#play(steps);
  }

  #play(steps: readonly Step[]): void {
    if (steps.some((step) => typeof step === "string" && step.startsWith("HTTP/1.1 101"))) this.#isOpaque = true;
    void playSteps(this.#socket, steps, this.#received).then(() => {
      this.#isBusy = false;
      if (!this.#isOpaque) this.#next();
    });
  }
}

/** Bytes of the body that begins `rest`; undefined: not all has come. */
function bodyLength(head: string, rest: string): number | undefined {
  if (/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) return chunkedLength(rest);
  const length = Number(/\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1] ?? 0);
  return rest.length >= length ? length : undefined;
}

function chunkedLength(rest: string): number | undefined {
  let at = 0;
  for (;;) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(rest.slice(at, lineEnd), 16);
    if (size === 0) {
      const end = rest.indexOf("\r\n\r\n", lineEnd);
      return end < 0 ? undefined : end + 4;
    }
    at = lineEnd + 2 + size + 2;
    if (at > rest.length) return undefined;
  }
}

/** A chunked body without its pieces: how it was cut is nobody's promise. */
function unframed(head: string, body: string): string {
  if (!/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) return head + body;
  let text = "";
  let at = 0;
  for (;;) {
    const lineEnd = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.slice(at, lineEnd), 16);
    if (!(size > 0)) return `${head}(chunks) ${text}(end) ${body.slice(lineEnd + 2)}`;
    text += body.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

function serveHttp2(
  stream: ServerHttp2Stream,
  headers: Readonly<Record<string, string>>,
  record: (id: string, text: string) => void,
  answerFor: (id: string) => Http2Answer,
): void {
  // Nobody promises an order of pseudo headers.
  const all = Object.entries(headers);
  const pseudo = all.filter(([name]) => name.startsWith(":")).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const ordered = [...pseudo, ...all.filter(([name]) => !name.startsWith(":"))];
  const fields = ordered.map(([name, value]) => `${name}: ${value}\r\n`);
  const id = idIn(fields.join("")) ?? "unknown";
  let body = "";
  let trailers = "";
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
  stream.on("trailers", (given: object) => {
    trailers = Object.entries(given)
      .map(([name, value]) => `${name}: ${String(value)}\r\n`)
      .join("");
  });
  stream.on("end", () => {
    record(id, `h: ${fields.join("")}\r\n${body}${trailers}`);
    const { headers: own, body: text, trailers: last, reset, hang } = answerFor(id);
    if (hang === true || stream.destroyed) return;
    if (reset !== undefined && own === undefined) return stream.close(reset);
    if (last !== undefined) stream.on("wantTrailers", () => stream.sendTrailers(last));
    stream.respond({ ":status": 200, "x-backend": "h", ...own }, { waitForTrailers: last !== undefined });
    if (reset === undefined) stream.end(text ?? "ok", "latin1");
    else stream.write(text ?? "ok", () => stream.close(reset));
  });
}
