/** TLS to upstreams beside a real Envoy: who is trusted, sessions that are resumed, what is counted. */
import { createHash, X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { afterAll, expect, test } from "vitest";
import { testAuthority } from "#proxy/tls/node-test-identities.ts";
import type { Json } from "./harness/case.ts";
import { ask, byPath, cluster, describeUpstreams, lbEndpoints, statsOf } from "./upstream-pair.ts";

const type = "type.googleapis.com/envoy.extensions";
const ca = testAuthority();
const stranger = testAuthority();
const own = ca.server(["a.test"]);

const server = createServer({ cert: own.certificateChain, key: own.privateKey }, (socket) => {
  socket.on("error", () => {});
  socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
});
server.on("tlsClientError", () => {});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;
afterAll(() => server.close());

const leaf = new X509Certificate(own.certificateChain);
const certificateHash = createHash("sha256").update(leaf.raw).digest("hex");
const spki = createHash("sha256")
  .update(leaf.publicKey.export({ type: "spki", format: "der" }))
  .digest("base64");
const trust = (authority = ca, more: Json = {}): Json => ({
  validation_context: { trusted_ca: { inline_string: authority.rootPem }, ...more },
});
const versions = (version: string): Json => ({
  tls_params: { tls_minimum_protocol_version: version, tls_maximum_protocol_version: version },
});

/** Name → (`UpstreamTlsContext`, what is said of HTTP upstream). */
const contexts: Readonly<Record<string, readonly [Json, Json?]>> = {
  verified: [{ common_tls_context: trust() }],
  "without-a-context": [{}],
  "empty-context": [{ common_tls_context: { validation_context: {} } }],
  "empty-context-and-a-name": [
    { common_tls_context: { validation_context: {} } },
    { auto_sni: true, auto_san_validation: true },
  ],
  "accept-untrusted": [{ common_tls_context: trust(stranger, { trust_chain_verification: "ACCEPT_UNTRUSTED" }) }],
  "another-ca": [{ common_tls_context: trust(stranger) }],
  "another-name": [
    {
      common_tls_context: trust(ca, {
        match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: "b.test" } }],
      }),
    },
  ],
  "the-name": [
    {
      sni: "a.test",
      common_tls_context: trust(ca, {
        match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: "a.test" } }],
      }),
    },
  ],
  "the-host-as-name": [{ common_tls_context: trust() }, { auto_sni: true, auto_san_validation: true }],
  "the-hash": [{ common_tls_context: { validation_context: { verify_certificate_hash: [certificateHash] } } }],
  "another-hash": [{ common_tls_context: { validation_context: { verify_certificate_hash: ["ab".repeat(32)] } } }],
  "the-key": [{ common_tls_context: { validation_context: { verify_certificate_spki: [spki] } } }],
  "no-sessions": [{ max_session_keys: 0, common_tls_context: trust() }],
  "tls-1-3": [{ common_tls_context: { ...trust(), ...versions("TLSv1_3") } }],
  "p-256": [{ common_tls_context: { ...trust(), tls_params: { ecdh_curves: ["P-256"] } } }],
};
const names = Object.keys(contexts);

describeUpstreams(
  "TLS to upstreams, beside a real Envoy",
  () =>
    Promise.resolve({
      static_resources: {
        listeners: [byPath(names)],
        clusters: Object.entries(contexts).map(([name, [context, upstream]]) =>
          cluster(name, [{ lb_endpoints: lbEndpoints(`127.0.0.1:${port}`) }], {
            transport_socket: {
              name: "tls",
              typed_config: { "@type": `${type}.transport_sockets.tls.v3.UpstreamTlsContext`, ...context },
            },
            typed_extension_protocol_options: {
              "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": `${type}.upstreams.http.v3.HttpProtocolOptions`,
                explicit_http_config: { http_protocol_options: {} },
                // Each request has a connection, and a handshake, of its own.
                common_http_protocol_options: { max_requests_per_connection: 1 },
                ...(upstream === undefined ? {} : { upstream_http_protocol_options: upstream }),
              },
            },
          }),
        ),
      },
    }),
  (both) => {
    test.each(names)("%s: four requests, with a server whose certificate is for a.test", async (name) => {
      const [envoy, ours] = await Promise.all(
        both().map(async (side) => {
          const statuses = [];
          for (const host of ["a.test", "a.test", "a.test", "b.test"])
            statuses.push(await ask(side, `/${name}/`, host));
          const stats = await statsOf(side, new RegExp(`^cluster\\.${name}\\.ssl\\.`));
          return {
            statuses,
            // OpenSSL does not tell with what the server signed.
            stats: Object.entries(stats).filter(
              ([stat, value]) => value > 0 && !/sigalgs|unnamed_ca_cert\./.test(stat),
            ),
          };
        }),
      );
      expect(ours).toEqual(envoy);
    });
  },
);
