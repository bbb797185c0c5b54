/** A real gRPC client and server with two proxies between them, HTTP/2 over TLS from one to the other. */
import grpc from "@grpc/grpc-js";
import http2 from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testAuthority } from "#proxy/tls/node-test-identities.ts";
import { bootstrapOf, httpListener, route, staticCluster } from "#proxy/testing/bootstraps.ts";
import { startProxy, workspace, type RunningProxy, type Workspace } from "#proxy/testing/proxy-process.ts";

const type = "type.googleapis.com/envoy.extensions";
const http2Options = {
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": `${type}.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: { connection_keepalive: { interval: "30s", timeout: "5s" } } },
  },
};
const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };

function method(name: string, requestStream: boolean, responseStream: boolean): grpc.MethodDefinition<Buffer, Buffer> {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: bytes.serialize,
    requestDeserialize: bytes.deserialize,
    responseSerialize: bytes.serialize,
    responseDeserialize: bytes.deserialize,
  };
}

const service = {
  unary: method("unary", false, false),
  count: method("count", false, true),
  sum: method("sum", true, false),
  chat: method("chat", true, true),
};

/** What the server saw of calls that were given up. */
let cancelled = 0;

const implementation: grpc.UntypedServiceImplementation = {
  unary(call: grpc.ServerUnaryCall<Buffer, Buffer>, reply: grpc.sendUnaryData<Buffer>) {
    const text = call.request.toString();
    call.on("cancelled", () => cancelled++);
    if (text === "never") return;
    if (text === "missing") return reply({ code: grpc.status.NOT_FOUND, details: "nö such thing" });
    const metadata = new grpc.Metadata();
    metadata.set("x-trailer", "end");
    reply(null, call.request, metadata);
  },
  count(call: grpc.ServerWritableStream<Buffer, Buffer>) {
    for (let i = 0; i < Number(call.request.toString()); i++) call.write(Buffer.from(String(i)));
    call.end();
  },
  sum(call: grpc.ServerReadableStream<Buffer, Buffer>, reply: grpc.sendUnaryData<Buffer>) {
    let total = 0;
    call.on("data", (chunk: Buffer) => (total += chunk.length));
    call.on("end", () => reply(null, Buffer.from(String(total))));
  },
  chat(call: grpc.ServerDuplexStream<Buffer, Buffer>) {
    call.on("cancelled", () => cancelled++);
    call.on("data", (chunk: Buffer) => {
      if (!call.write(chunk)) {
        call.pause();
        call.once("drain", () => call.resume());
      }
    });
    call.on("end", () => call.end());
  },
};

describe("gRPC through two proxies", () => {
  const files: Workspace[] = [];
  const proxies: RunningProxy[] = [];
  const server = new grpc.Server();
  let client: grpc.Client;
  let address = "";

  async function start(bootstrap: unknown): Promise<RunningProxy> {
    const folder = workspace();
    files.push(folder);
    const proxy = await startProxy(folder, bootstrap);
    proxies.push(proxy);
    return proxy;
  }

  beforeAll(async () => {
    server.addService(service, implementation);
    const port = await new Promise<number>((resolve, reject) => {
      const credentials = grpc.ServerCredentials.createInsecure();
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
    });
    const authority = testAuthority();
    const secret = authority.server(["inbound.example"]);
    const inbound = httpListener("in", { routes: [route("/", "up", { timeout: "0s" })] }) as {
      filter_chains: Record<string, unknown>[];
    };
    for (const chain of inbound.filter_chains) {
      chain["transport_socket"] = {
        name: "envoy.transport_sockets.tls",
        typed_config: {
          "@type": `${type}.transport_sockets.tls.v3.DownstreamTlsContext`,
          common_tls_context: {
            alpn_protocols: ["h2", "http/1.1"],
            tls_certificates: [
              {
                certificate_chain: { inline_string: secret.certificateChain },
                private_key: { inline_string: secret.privateKey },
              },
            ],
          },
        },
      };
    }
    const up = { ...staticCluster("up", `127.0.0.1:${port}`), typed_extension_protocol_options: http2Options };
    const server1 = await start(bootstrapOf({ clusters: [up], listeners: [inbound] }));
    const out = {
      ...staticCluster("out", await server1.address("in")),
      typed_extension_protocol_options: http2Options,
      transport_socket: {
        name: "envoy.transport_sockets.tls",
        typed_config: {
          "@type": `${type}.transport_sockets.tls.v3.UpstreamTlsContext`,
          sni: "inbound.example",
          common_tls_context: {
            alpn_protocols: ["h2"],
            validation_context: { trusted_ca: { inline_string: authority.rootPem } },
          },
        },
      },
    };
    const outbound = httpListener("out", { routes: [route("/", "out", { timeout: "0s" })] });
    const server2 = await start(bootstrapOf({ clusters: [out], listeners: [outbound] }));
    address = await server2.address("out");
    client = new grpc.Client(address, grpc.credentials.createInsecure());
  });

  afterAll(async () => {
    client.close();
    server.forceShutdown();
    for (const proxy of proxies) proxy.kill("SIGKILL");
    await Promise.all(proxies.map(({ ended }) => ended));
    for (const folder of files) folder.remove();
  });

  interface Answer {
    readonly text: string | undefined;
    readonly code: number;
    readonly details: string;
    readonly trailer: grpc.MetadataValue | undefined;
  }

  function unary(text: string, deadlineMs = 20_000): Promise<Answer> {
    return new Promise((resolve) => {
      let body: string | undefined;
      const options = { deadline: Date.now() + deadlineMs };
      const { path } = service.unary;
      client
        .makeUnaryRequest(
          path,
          bytes.serialize,
          bytes.deserialize,
          Buffer.from(text),
          new grpc.Metadata(),
          options,
          (_e, value) => {
            body = value?.toString();
          },
        )
        .on("status", ({ code, details, metadata }) => {
          resolve({ text: body, code, details, trailer: metadata.get("x-trailer")[0] });
        });
    });
  }

  test("unary: answer, status, trailers", async () => {
    expect(await unary("hello")).toEqual({ text: "hello", code: 0, details: "OK", trailer: "end" });
  });

  test("unary: an error with its message", async () => {
    expect(await unary("missing")).toMatchObject({ code: grpc.status.NOT_FOUND, details: "nö such thing" });
  });

  test("ten thousand messages, two hundred at a time", async () => {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < 10_000) {
        const text = `message ${next++}`;
        expect((await unary(text)).text).toBe(text);
      }
    };
    await Promise.all(Array.from({ length: 200 }, worker));
  });

  test("a deadline that passes is heard by the server", async () => {
    const before = cancelled;
    expect((await unary("never", 200)).code).toBe(grpc.status.DEADLINE_EXCEEDED);
    await expect.poll(() => cancelled).toBe(before + 1);
  });

  test("server streaming: ten thousand messages in order", async () => {
    const call = client.makeServerStreamRequest(
      service.count.path,
      bytes.serialize,
      bytes.deserialize,
      Buffer.from("10000"),
    );
    let expected = 0;
    for await (const message of call as AsyncIterable<Buffer>) expect(Number(message.toString())).toBe(expected++);
    expect(expected).toBe(10_000);
  });

  test("client streaming: ten megabytes, as fast as they are taken", async () => {
    const sum = await new Promise<string>((resolve, reject) => {
      const call = client.makeClientStreamRequest<Buffer, Buffer>(
        service.sum.path,
        bytes.serialize,
        bytes.deserialize,
        (error, value) => (error === null ? resolve(String(value)) : reject(error)),
      );
      let left = 500;
      const write = (): void => {
        while (left-- > 0) if (!call.write(Buffer.alloc(20_000))) return void call.once("drain", write);
        call.end();
      };
      write();
    });
    expect(sum).toBe("10000000");
  });

  test("both ways at once, and a client that reads slowly", async () => {
    const call = client.makeBidiStreamRequest<Buffer, Buffer>(service.chat.path, bytes.serialize, bytes.deserialize);
    let left = 300;
    const write = (): void => {
      while (left-- > 0) if (!call.write(Buffer.alloc(20_000, left & 0xff))) return void call.once("drain", write);
      call.end();
    };
    write();
    let received = 0;
    let expected = 299;
    for await (const message of call as AsyncIterable<Buffer>) {
      expect(message[0]).toBe(expected-- & 0xff);
      received += message.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(received).toBe(6_000_000);
  });

  test("a call that is given up reaches the server", async () => {
    const before = cancelled;
    const call = client.makeBidiStreamRequest<Buffer, Buffer>(service.chat.path, bytes.serialize, bytes.deserialize);
    const status = new Promise<grpc.StatusObject>((resolve) => call.on("status", resolve));
    call.on("error", () => {});
    call.on("data", () => call.cancel());
    call.write(Buffer.from("x"));
    expect((await status).code).toBe(grpc.status.CANCELLED);
    await expect.poll(() => cancelled).toBe(before + 1);
  });

  test("nothing is left behind", async () => {
    for (const proxy of proxies) {
      const stats = (): Promise<string> => proxy.text("/stats?filter=streams_active|rq_active|pending_send_bytes");
      await expect
        .poll(async () => (await stats()).split("\n").filter((line) => !line.endsWith(": 0") && line !== ""))
        .toEqual([]);
    }
  });

  test("a proxy that ends tells its clients first: none of their requests is lost", async () => {
    const session = http2.connect(`http://${address}`);
    const goAways: number[] = [];
    session.on("goaway", (code) => goAways.push(code));
    const ask = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const stream = session.request({
          ":method": "POST",
          ":path": "/test.Echo/unary",
          "content-type": "application/grpc",
          te: "trailers",
        });
        stream.on("response", (headers) => resolve(headers[":status"]));
        stream.on("error", reject);
        stream.end(Buffer.from([0, 0, 0, 0, 1, 0x78]));
        stream.resume();
      });
    expect(await ask()).toBe(200);
    const outer = proxies[1];
    outer?.kill("SIGTERM");
    const closed = new Promise((resolve) => session.once("close", resolve));
    const answers = await Promise.allSettled([ask(), ask(), ask()]);
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
    await closed;
    expect(goAways.length).toBeGreaterThan(0);
    await outer?.ended;
  });
});
