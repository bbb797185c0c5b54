import { describe, expect, test } from "vitest";
import type { Connection } from "#lib/connection.ts";
import { nodeRuntime } from "#lib/node-runtime.ts";
import type { Parsed } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import { simulatedRuntime } from "#lib/simulated-runtime.ts";
import { messageFromJson } from "#protos/json.ts";
import type { TransportSocket } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { createStatsStore } from "../observability/stats-store.ts";
import { testAuthority } from "./node-test-identities.ts";
import { createTransportFactory } from "./transport-factory.ts";
import type {
  DownstreamTransport,
  Secret,
  SecretProvider,
  SecretSource,
  SecretWait,
  UpstreamTransport,
} from "./types.ts";

const ca = testAuthority();
const stranger = testAuthority();
const SERVER_ID = "spiffe://cluster.local/ns/default/sa/httpbin";
const CLIENT_ID = "spiffe://cluster.local/ns/default/sa/sleep";
const server = ca.workload(SERVER_ID);
const client = ca.workload(CLIENT_ID);

/** Secrets that a test sets and rotates. */
class Secrets implements SecretProvider {
  readonly #secrets = new Map<string, Secret>();
  readonly #watchers = new Map<string, Set<(secret: Secret) => void>>();
  readonly #waits: SecretWait[] = [];
  constructor(secrets: Readonly<Record<string, Secret>> = {}) {
    for (const [name, secret] of Object.entries(secrets)) this.set(name, secret);
  }
  set(name: string, secret: Secret): void {
    this.#secrets.set(name, secret);
    for (const watcher of this.#watchers.get(name) ?? []) watcher(secret);
  }
  /** Says of every secret that it has not that there is none. */
  giveUp(): void {
    for (const wait of this.#waits.splice(0)) wait.onGivenUp();
  }
  subscribe(name: string, onUpdate: (secret: Secret) => void, _source?: SecretSource, wait?: SecretWait) {
    if (wait !== undefined && !this.#secrets.has(name)) this.#waits.push(wait);
    const watchers = this.#watchers.get(name) ?? new Set();
    this.#watchers.set(name, watchers);
    watchers.add(onUpdate);
    const secret = this.#secrets.get(name);
    if (secret !== undefined) onUpdate(secret);
    return { close: () => void watchers.delete(onUpdate) };
  }
}

interface Bench {
  readonly runtime: Runtime;
  readonly until: (what: () => boolean) => Promise<void>;
}

const worlds: readonly { readonly name: string; readonly make: () => Bench }[] = [
  {
    name: "real sockets",
    make: () => ({
      runtime: nodeRuntime({ writeLog() {} }),
      until: async (what) => {
        while (!what()) await new Promise((resolve) => setTimeout(resolve, 1));
      },
    }),
  },
  {
    name: "the simulated network",
    make: () => {
      const runtime = simulatedRuntime();
      return {
        runtime,
        until: async (what) => {
          for (let i = 0; i < 5000 && !what(); i++) await runtime.advance(1);
          expect(what()).toBe(true);
        },
      };
    },
  },
];

function socketOf(context: "Upstream" | "Downstream", json: object): TransportSocket {
  const { value, problems } = messageFromJson("envoy.config.core.v3.TransportSocket", {
    name: "envoy.transport_sockets.tls",
    typedConfig: {
      "@type": `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${context}TlsContext`,
      ...json,
    },
  });
  expect(problems).toEqual([]);
  return value as TransportSocket;
}

function good<T>(parsed: Parsed<T>): T {
  expect(parsed.problems).toEqual([]);
  return parsed.value as T;
}

const inline = (secret: { certificateChain: string; privateKey: string }) => ({
  certificateChain: { inlineString: secret.certificateChain },
  privateKey: { inlineString: secret.privateKey },
});
const SDS = { name: "", sdsConfig: { ads: {} } };
const meshDownstream = {
  requireClientCertificate: true,
  commonTlsContext: {
    alpnProtocols: ["h2", "http/1.1"],
    tlsCertificateSdsSecretConfigs: [{ ...SDS, name: "default" }],
    combinedValidationContext: {
      defaultValidationContext: { matchSubjectAltNames: [{ prefix: "spiffe://cluster.local/" }] },
      validationContextSdsSecretConfig: { ...SDS, name: "ROOTCA" },
    },
  },
};
const meshUpstream = (san = SERVER_ID) => ({
  sni: "outbound_.80_._.httpbin.default.svc.cluster.local",
  commonTlsContext: {
    alpnProtocols: ["istio", "h2"],
    tlsParams: { tlsMinimumProtocolVersion: "TLSv1_2", tlsMaximumProtocolVersion: "TLSv1_3" },
    tlsCertificateSdsSecretConfigs: [{ ...SDS, name: "default" }],
    combinedValidationContext: {
      defaultValidationContext: { matchSubjectAltNames: [{ exact: san }] },
      validationContextSdsSecretConfig: { ...SDS, name: "ROOTCA" },
    },
  },
});

interface Meeting {
  readonly client: Connection;
  clientConnected: boolean;
  clientError: Error | undefined;
  clientClosed: boolean;
  clientText: string;
  server: Connection | undefined;
  serverFailure: string | undefined;
  serverText: string;
}

describe.each(worlds)("TLS over $name", ({ name: network, make }) => {
  function bench() {
    const { runtime, until } = make();
    const stats = createStatsStore();
    const value = (name: string): number => stats.counters().find((counter) => counter.name === name)?.value ?? 0;
    const gauge = (name: string): number => stats.gauges().find((found) => found.name === name)?.value ?? 0;
    const factory = (secrets: SecretProvider) =>
      createTransportFactory({ runtime, secrets, scope: stats.root.scope("x.") });
    const serverSecrets = new Secrets({ default: server, ROOTCA: ca.trust });
    const clientSecrets = new Secrets({ default: client, ROOTCA: ca.trust });
    const down = (json: object, secrets: SecretProvider = serverSecrets): DownstreamTransport =>
      good(
        factory(secrets).downstream(socketOf("Downstream", json), "transport_socket", stats.root.scope("listener.l.")),
      );
    const up = (json: object, secrets: SecretProvider = clientSecrets): UpstreamTransport =>
      good(factory(secrets).upstream(socketOf("Upstream", json), "transport_socket", stats.root.scope("cluster.c.")));

    /** A listening socket over the transport, and meetings at it. */
    async function open(downstream: DownstreamTransport) {
      let current: Meeting | undefined;
      const listening = await runtime.network.listen(
        { address: { kind: "ip", address: "127.0.0.1", port: 0 } },
        (raw) => {
          const meeting = current as Meeting;
          downstream.accept(
            raw,
            (connection) => {
              meeting.server = connection;
              connection.handler = {
                onData: (chunk) => (meeting.serverText += chunk.toString("latin1")),
                onClose() {},
              };
            },
            (reason) => (meeting.serverFailure = reason),
          );
        },
      );
      const meet = async (
        upstream: UpstreamTransport,
        target: Partial<Parameters<UpstreamTransport["connect"]>[0]> = {},
      ): Promise<Meeting> => {
        const meeting: Meeting = {
          clientConnected: false,
          clientError: undefined,
          clientClosed: false,
          clientText: "",
          server: undefined,
          serverFailure: undefined,
          serverText: "",
          client: upstream.connect(
            { address: listening.address, hostname: "", ...target },
            {
              onConnect: () => (meeting.clientConnected = true),
              onData: (chunk) => (meeting.clientText += chunk.toString("latin1")),
              onClose: (error) => {
                meeting.clientClosed = true;
                meeting.clientError = error;
              },
            },
          ),
        };
        current = meeting;
        await until(
          () =>
            (meeting.clientConnected && meeting.server !== undefined) ||
            meeting.serverFailure !== undefined ||
            meeting.clientClosed,
        );
        return meeting;
      };
      return { meet, close: () => listening.close() };
    }

    async function meet(
      upstream: UpstreamTransport,
      downstream: DownstreamTransport,
      target: Partial<Parameters<UpstreamTransport["connect"]>[0]> = {},
    ): Promise<Meeting> {
      const stand = await open(downstream);
      const meeting = await stand.meet(upstream, target);
      await stand.close();
      return meeting;
    }
    const factoryOf = () => factory(clientSecrets);
    return { runtime, until, value, gauge, factoryOf, down, up, open, meet, serverSecrets, clientSecrets };
  }

  // Certificates are of the real time, and the validator asks the runtime for it.
  test.runIf(network === "real sockets")(
    "a SPIFFE validator believes a name by the roots of its own trust domain only",
    async () => {
      const { down, up, meet, until } = bench();
      const foreign = testAuthority("other.test");
      const trustDomains = [
        { name: "cluster.local", trustBundle: { inlineString: ca.rootPem } },
        { name: "other.test", trustBundle: { inlineString: foreign.rootPem } },
      ];
      const type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
      const validationContext = {
        customValidatorConfig: {
          name: "envoy.tls.cert_validator.spiffe",
          typedConfig: { "@type": type, trustDomains },
        },
      };
      const as = (who: typeof server) =>
        up({ commonTlsContext: { tlsCertificates: [inline(who)], validationContext } });
      const believing = (): DownstreamTransport =>
        down({
          requireClientCertificate: true,
          commonTlsContext: { tlsCertificates: [inline(server)], validationContext },
        });
      const id = "spiffe://other.test/ns/default/sa/sleep";
      const friend = await meet(as(foreign.workload(id)), believing());
      await until(() => friend.server !== undefined);
      expect(friend.server?.tls?.peer?.uriSans).toEqual([id]);
      // Our own root is trusted, and speaks for somebody else.
      const forger = await meet(as(ca.workload(id)), believing());
      await until(() => forger.serverFailure !== undefined);
      expect(forger.serverFailure).toContain("not signed by a root of trust domain other.test");
    },
  );

  test("mutual TLS: both sides know each other's SPIFFE id, SNI, ALPN, version and cipher", async () => {
    const { up, down, meet, value, until } = bench();
    const meeting = await meet(up(meshUpstream()), down(meshDownstream));
    expect(meeting.client.tls).toMatchObject({
      version: "TLSv1.3",
      cipher: "TLS_AES_128_GCM_SHA256",
      alpn: "h2",
      sni: "outbound_.80_._.httpbin.default.svc.cluster.local",
      resumed: false,
      peer: { verified: true, uriSans: [SERVER_ID] },
      local: { uriSans: [CLIENT_ID] },
    });
    expect(meeting.server?.tls).toMatchObject({
      sni: "outbound_.80_._.httpbin.default.svc.cluster.local",
      alpn: "h2",
      peer: { verified: true, uriSans: [CLIENT_ID] },
      local: { uriSans: [SERVER_ID] },
    });
    expect(meeting.server?.tls?.peer?.sha256).toBe(meeting.client.tls?.local?.sha256);
    meeting.client.write("hello");
    await until(() => meeting.serverText === "hello");
    meeting.server?.write("world");
    await until(() => meeting.clientText === "world");
    expect(value("listener.l.ssl.handshake")).toBe(1);
    expect(value("cluster.c.ssl.handshake")).toBe(1);
    expect(value("listener.l.ssl.versions.TLSv1.3")).toBe(1);
    expect(value("cluster.c.ssl.ciphers.TLS_AES_128_GCM_SHA256")).toBe(1);
    meeting.client.destroy();
  });

  test("an upstream with the wrong SPIFFE id is refused, and the reason names the SAN list", async () => {
    const { up, down, meet, value } = bench();
    const meeting = await meet(up(meshUpstream("spiffe://cluster.local/ns/default/sa/other")), down(meshDownstream));
    expect(meeting.clientConnected).toBe(false);
    expect(meeting.clientError?.message).toBe(
      "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN matcher, certificate SANs are [spiffe://cluster.local/ns/default/sa/httpbin]:TLS_error_end",
    );
    expect(value("cluster.c.ssl.fail_verify_san")).toBe(1);
  });

  test("an upstream of a stranger's CA is refused", async () => {
    const { up, down, meet, value, until } = bench();
    const impostor = new Secrets({ default: stranger.workload(SERVER_ID), ROOTCA: ca.trust });
    const meeting = await meet(up(meshUpstream()), down(meshDownstream, impostor));
    await until(() => meeting.clientClosed);
    expect(meeting.clientConnected).toBe(false);
    expect(meeting.clientError?.message).toMatch(/CERTIFICATE_VERIFY_FAILED/);
    expect(value("cluster.c.ssl.fail_verify_error")).toBe(1);
  });

  test("a client without a certificate is refused where one is required", async () => {
    const { up, down, meet, value, until } = bench();
    const bare = { commonTlsContext: { ...meshUpstream().commonTlsContext, tlsCertificateSdsSecretConfigs: [] } };
    const meeting = await meet(up(bare), down(meshDownstream));
    await until(() => meeting.serverFailure !== undefined && meeting.clientClosed);
    expect(meeting.server).toBeUndefined();
    expect(value("listener.l.ssl.fail_verify_no_cert")).toBe(1);
  });

  test("a client of a stranger's CA is refused", async () => {
    const { up, down, meet, value, until } = bench();
    const secrets = new Secrets({ default: stranger.workload(CLIENT_ID), ROOTCA: ca.trust });
    const meeting = await meet(up(meshUpstream(), secrets), down(meshDownstream));
    await until(() => meeting.serverFailure !== undefined);
    expect(meeting.server).toBeUndefined();
    expect(meeting.serverFailure).toMatch(/CERTIFICATE_VERIFY_FAILED/);
    expect(value("listener.l.ssl.fail_verify_error")).toBe(1);
  });

  test("a client outside the trust domain is refused", async () => {
    const { up, down, meet, value, until } = bench();
    const secrets = new Secrets({ default: ca.workload("spiffe://elsewhere/ns/default/sa/sleep"), ROOTCA: ca.trust });
    const meeting = await meet(up(meshUpstream(), secrets), down(meshDownstream));
    await until(() => meeting.serverFailure !== undefined);
    expect(meeting.serverFailure).toMatch(/SAN matcher, certificate SANs are \[spiffe:\/\/elsewhere/);
    expect(value("listener.l.ssl.fail_verify_san")).toBe(1);
  });

  test("where a certificate is optional, none is fine and a bad one is refused", async () => {
    const { up, down, meet, value, until } = bench();
    const optional = { ...meshDownstream, requireClientCertificate: false };
    const bare = { commonTlsContext: { ...meshUpstream().commonTlsContext, tlsCertificateSdsSecretConfigs: [] } };
    const meeting = await meet(up(bare), down(optional));
    await until(() => meeting.server !== undefined);
    expect(meeting.server?.tls?.peer).toBeUndefined();
    expect(value("listener.l.ssl.no_certificate")).toBe(1);
    const secrets = new Secrets({ default: stranger.workload(CLIENT_ID), ROOTCA: ca.trust });
    const refused = await meet(up(meshUpstream(), secrets), down(optional));
    await until(() => refused.serverFailure !== undefined);
    expect(refused.server).toBeUndefined();
  });

  test("the second connection resumes the session and still knows who the peer is", async () => {
    const { up, down, open, value, until } = bench();
    const stand = await open(down(meshDownstream));
    const upstream = up(meshUpstream());
    const first = await stand.meet(upstream);
    expect(first.client.tls?.resumed).toBe(false);
    first.server?.write("after the ticket");
    await until(() => first.clientText !== "");
    first.client.destroy();
    const second = await stand.meet(upstream);
    expect(second.client.tls).toMatchObject({ resumed: true, peer: { verified: true, uriSans: [SERVER_ID] } });
    expect(second.server?.tls).toMatchObject({ resumed: true, peer: { verified: true, uriSans: [CLIENT_ID] } });
    expect(value("cluster.c.ssl.session_reused")).toBe(1);
    expect(value("listener.l.ssl.session_reused")).toBe(1);
    second.client.destroy();
    await stand.close();
  });

  test("a session of TLS 1.3 serves once", async () => {
    const { up, down, open, value, until } = bench();
    const only13 = meshUpstream();
    const upstream = up({
      ...only13,
      commonTlsContext: {
        ...only13.commonTlsContext,
        tlsParams: { tlsMinimumProtocolVersion: "TLSv1_3", tlsMaximumProtocolVersion: "TLSv1_3" },
      },
    });
    const stand = await open(down(meshDownstream));
    const exchange = async (): Promise<boolean | undefined> => {
      const meeting = await stand.meet(upstream);
      meeting.server?.write("x");
      await until(() => meeting.clientText === "x");
      const resumed = meeting.client.tls?.resumed;
      meeting.client.destroy();
      await until(() => meeting.clientClosed);
      return resumed;
    };
    expect([await exchange(), await exchange(), await exchange()]).toEqual([false, true, false]);
    expect(value("cluster.c.ssl.session_reused")).toBe(1);
    expect(value("cluster.c.ssl.curves.X25519MLKEM768")).toBe(3);
    await stand.close();
  });

  test("without a validation context anybody is taken, and is known as not verified", async () => {
    const { up, down, meet, factoryOf } = bench();
    const plain = { commonTlsContext: { tlsCertificates: [inline(stranger.workload(SERVER_ID))] } };
    const { value: upstream } = factoryOf().upstream(socketOf("Upstream", {}), "transport_socket");
    expect(upstream?.isUnverified).toBe(true);
    const meeting = await meet(upstream as UpstreamTransport, down(plain));
    expect(meeting.client.tls?.peer).toMatchObject({ verified: false, uriSans: [SERVER_ID] });
    meeting.client.destroy();
    // A name that the connection itself asks for is asked for all the same, as Envoy does.
    const asked = await meet(upstream as UpstreamTransport, down(plain), { subjectAltNamesOverride: ["a.test"] });
    expect(asked.clientConnected).toBe(false);
    expect(up(meshUpstream()).isUnverified).toBe(false);
  });

  test("ssl.certificate.<name>.expiration_unix_time_seconds tells when certificates end", () => {
    const { up, gauge } = bench();
    up(meshUpstream());
    const inADay = Date.now() / 1000 + 86_400;
    expect(gauge("cluster.c.ssl.certificate.default.expiration_unix_time_seconds")).toBeGreaterThan(inADay - 7200);
    expect(gauge("cluster.c.ssl.certificate.ROOTCA.expiration_unix_time_seconds")).toBeGreaterThan(inADay);
  });

  test("a session that was made before a rotation is not resumed after it", async () => {
    const { up, down, open, clientSecrets, until } = bench();
    const stand = await open(down(meshDownstream));
    const upstream = up(meshUpstream());
    const first = await stand.meet(upstream);
    first.server?.write("after the ticket");
    await until(() => first.clientText !== "");
    clientSecrets.set("ROOTCA", { kind: "validation", trustedCa: `${ca.rootPem}${stranger.rootPem}` });
    const second = await stand.meet(upstream);
    expect(second.client.tls?.resumed).toBe(false);
    first.client.destroy();
    second.client.destroy();
    await stand.close();
  });

  test("X-69: a rotated certificate holds for new connections, those that are open go on", async () => {
    const { up, down, meet, serverSecrets, value, until } = bench();
    const upstream = up(meshUpstream());
    const downstream = down(meshDownstream);
    const old = await meet(upstream, downstream);
    serverSecrets.set("default", ca.workload(SERVER_ID));
    expect(value("listener.l.server_ssl_socket_factory.ssl_context_update_by_sds")).toBe(1);
    const fresh = await meet(upstream, downstream);
    expect(fresh.client.tls?.peer?.sha256).not.toBe(old.client.tls?.peer?.sha256);
    old.client.write("still here");
    await until(() => old.serverText === "still here");
    old.client.destroy();
    fresh.client.destroy();
  });

  test("X-69: until its secret is there a listener closes, a cluster fails, and both say so", async () => {
    const { up, down, meet, value } = bench();
    const secrets = new Secrets({ ROOTCA: ca.trust });
    const downstream = down(meshDownstream, secrets);
    expect(downstream.isReady).toBe(false);
    const meeting = await meet(up(meshUpstream()), downstream);
    expect(meeting.serverFailure).toBe("TLS error: Secret is not supplied by SDS");
    expect(value("listener.l.server_ssl_socket_factory.downstream_context_secrets_not_ready")).toBe(1);
    const waiting = up(meshUpstream(), secrets);
    let isReady = false;
    waiting.onReady(() => (isReady = true));
    const failed = await meet(waiting, downstream);
    expect(failed.clientError?.message).toBe("TLS error: Secret is not supplied by SDS");
    expect(value("cluster.c.client_ssl_socket_factory.upstream_context_secrets_not_ready")).toBe(1);
    secrets.set("default", client);
    expect(isReady).toBe(true);
    expect(waiting.isReady && downstream.isReady).toBe(true);
  });

  test("a secret that the server has not is not waited for: what needs it refuses, until it comes after all", async () => {
    const { up, down, meet } = bench();
    const secrets = new Secrets({ ROOTCA: ca.trust });
    const [upstream, downstream] = [up(meshUpstream(), secrets), down(meshDownstream, secrets)];
    let ready = 0;
    upstream.onReady(() => ready++);
    downstream.onReady(() => ready++);
    secrets.giveUp();
    expect([ready, upstream.isReady, downstream.isReady]).toEqual([2, true, true]);
    expect((await meet(upstream, down(meshDownstream))).clientError?.message).toBe(
      "TLS error: Secret is not supplied by SDS",
    );
    expect((await meet(up(meshUpstream()), downstream)).serverFailure).toBe("TLS error: Secret is not supplied by SDS");
    secrets.set("default", server);
    expect((await meet(up(meshUpstream()), downstream)).serverFailure).toBeUndefined();
  });

  test("a validation secret without a CA verifies nobody: neither side becomes ready", async () => {
    const { up, down, meet } = bench();
    const empty: Secret = { kind: "validation", trustedCa: "" };
    const upstream = up(meshUpstream(), new Secrets({ default: client, ROOTCA: empty }));
    const downstream = down(meshDownstream, new Secrets({ default: server, ROOTCA: empty }));
    expect([upstream.isReady, downstream.isReady]).toEqual([false, false]);
    const failed = await meet(upstream, down(meshDownstream));
    expect(failed.clientError?.message).toBe("TLS error: Secret is not supplied by SDS");
    const closed = await meet(up(meshUpstream()), downstream);
    expect(closed.server).toBeUndefined();
  });

  test("a rotation that takes the CA away leaves the old one in force", async () => {
    const { up, down, meet, clientSecrets } = bench();
    const upstream = up(meshUpstream());
    clientSecrets.set("ROOTCA", { kind: "validation", trustedCa: "" });
    const impostor = new Secrets({ default: stranger.workload(SERVER_ID), ROOTCA: stranger.trust });
    const refused = await meet(upstream, down(meshDownstream, impostor));
    expect(refused.clientConnected).toBe(false);
    const accepted = await meet(upstream, down(meshDownstream));
    expect(accepted.client.tls?.peer?.verified).toBe(true);
    accepted.client.destroy();
  });

  test("ALPN: the server's order decides; a client that offers nothing known is answered without", async () => {
    const { up, down, meet } = bench();
    const both = await meet(up(meshUpstream()), down(meshDownstream), { alpnOverride: ["http/1.1", "h2"] });
    expect(both.client.tls?.alpn).toBe("h2");
    const foreign = await meet(up(meshUpstream()), down(meshDownstream), { alpnOverride: ["acme/1"] });
    expect(foreign.clientConnected).toBe(true);
    expect(foreign.client.tls?.alpn).toBeUndefined();
    expect(foreign.server?.tls?.alpn).toBeUndefined();
    both.client.destroy();
    foreign.client.destroy();
  });

  test("versions are limited by tls_params", async () => {
    const { up, down, meet, until } = bench();
    const only12 = meshUpstream();
    const upstream = up({
      ...only12,
      commonTlsContext: { ...only12.commonTlsContext, tlsParams: { tlsMaximumProtocolVersion: "TLSv1_2" } },
    });
    const meeting = await meet(upstream, down(meshDownstream));
    expect(meeting.client.tls).toMatchObject({ version: "TLSv1.2", cipher: "ECDHE-ECDSA-AES128-GCM-SHA256" });
    meeting.client.destroy();
    const only13 = {
      ...meshDownstream,
      commonTlsContext: { ...meshDownstream.commonTlsContext, tlsParams: { tlsMinimumProtocolVersion: "TLSv1_3" } },
    };
    const refused = await meet(upstream, down(only13));
    await until(() => refused.clientClosed);
    expect(refused.clientError?.message).toMatch(/TLSV1_ALERT_PROTOCOL_VERSION/);
  });

  test("a plaintext peer fails the handshake in Envoy's words", async () => {
    const { up, runtime, until } = bench();
    const listening = await runtime.network.listen(
      { address: { kind: "ip", address: "127.0.0.1", port: 0 } },
      (raw) => {
        raw.handler = { onData: () => void raw.write("HTTP/1.1 400 Bad Request\r\n\r\n"), onClose() {} };
      },
    );
    let error: Error | undefined;
    up(meshUpstream()).connect(
      { address: listening.address, hostname: "" },
      { onData() {}, onClose: (reason) => (error = reason) },
    );
    await until(() => error !== undefined);
    expect(error?.message).toBe(
      "TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end",
    );
    await listening.close();
  });

  test("a reset reaches the peer through TLS", async () => {
    const { up, down, meet, until } = bench();
    const meeting = await meet(up(meshUpstream()), down(meshDownstream));
    meeting.server?.reset();
    await until(() => meeting.clientClosed);
    expect(meeting.clientError).toMatchObject({ code: "ECONNRESET" });
  });

  test("pinned hashes stand in for a CA", async () => {
    const { up, down, meet, value } = bench();
    const first = await meet(up(meshUpstream()), down(meshDownstream));
    const hash = first.client.tls?.peer?.sha256 ?? "";
    const pinned = (verifyCertificateHash: string[]) => ({
      commonTlsContext: { tlsCertificates: [inline(client)], validationContext: { verifyCertificateHash } },
    });
    const accepted = await meet(up(pinned([hash.toUpperCase()])), down(meshDownstream));
    expect(accepted.clientConnected).toBe(true);
    expect(accepted.client.tls?.peer?.verified).toBe(false);
    const refused = await meet(up(pinned(["00".repeat(32)])), down(meshDownstream));
    expect(refused.clientConnected).toBe(false);
    expect(value("cluster.c.ssl.fail_verify_cert_hash")).toBe(1);
    first.client.destroy();
    accepted.client.destroy();
  });
});
