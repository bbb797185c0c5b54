/** What the next hop is told of the client's certificate, and what routes and formatters see of it. */
import { connect } from "node:tls";
import { testAuthority } from "#proxy/tls/node-test-identities.ts";
import type { Case, Json, OwnExchange } from "../harness/case.ts";
import { exchangeRaw } from "../harness/client.ts";
import { forward, requestText, says } from "../harness/requests.ts";

const authority = testAuthority();
const server = authority.server(["server.test"], "spiffe://cluster.local/ns/n/sa/server");
const clients = {
  workload: authority.workload("spiffe://cluster.local/ns/n/sa/client"),
  both: authority.server(["a.test", "b.test"], "spiffe://cluster.local/ns/n/sa/both"),
};
type ClientName = keyof typeof clients | "none";

const filterChain: Json = {
  transport_socket: {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
      common_tls_context: {
        tls_certificates: [
          {
            certificate_chain: { inline_string: server.certificateChain },
            private_key: { inline_string: server.privateKey },
          },
        ],
        validation_context: { trusted_ca: { inline_string: authority.rootPem } },
      },
    },
  },
};

/** One request over TLS, with that client's certificate. */
function secure(client: ClientName, fields: Readonly<Record<string, string>> = {}, path = "/"): OwnExchange {
  const identity = client === "none" ? undefined : clients[client];
  return {
    kind: "own",
    run: (side, id) =>
      exchangeRaw({ kind: "raw", steps: [requestText("GET", path, fields).replaceAll("{id}", id)] }, () =>
        connect({
          host: "127.0.0.1",
          port: side.port(id),
          ca: authority.rootPem,
          checkServerIdentity: () => undefined,
          ...(identity === undefined ? {} : { cert: identity.certificateChain, key: identity.privateKey }),
        }),
      ),
  };
}

const sent = { "x-forwarded-client-cert": "By=spiffe://x/y;Hash=00" };
const details = { subject: true, cert: true, dns: true, uri: true };

export const clientCertificateCases: readonly Case[] = [
  ...["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"].flatMap((mode) =>
    [
      {},
      { subject: true },
      { issuer: true, subject: true, uri: true, dns: true },
      { uri: true, dns: true },
      details,
    ].map((set): Case => ({
      name: `R-84: ${mode} with ${JSON.stringify(set)}`,
      manager: { forward_client_cert_details: mode, set_current_client_cert_details: set },
      filterChain,
      exchanges: [secure("workload"), secure("workload", sent), secure("both", sent), secure("none", sent)],
    })),
  ),
  {
    name: "R-84: a request in plain text has no certificate",
    manager: { forward_client_cert_details: "APPEND_FORWARD", set_current_client_cert_details: details },
    exchanges: [{ kind: "raw", steps: [requestText("GET", "/", sent)] }],
  },
  {
    name: "R-25: routes see the client's certificate",
    filterChain,
    routes: [
      says("validated", { prefix: "/", tls_context: { presented: true, validated: true } }),
      says("presented", { prefix: "/", tls_context: { presented: true } }),
      says("none", { prefix: "/", tls_context: { presented: false } }),
    ],
    exchanges: [secure("workload"), secure("none")],
  },
  {
    name: "R-32: formatters see the client's certificate",
    filterChain,
    routes: [
      forward(
        {},
        {
          request_headers_to_add: [
            "DOWNSTREAM_PEER_URI_SAN",
            "DOWNSTREAM_PEER_DNS_SAN",
            "DOWNSTREAM_PEER_SUBJECT",
            "DOWNSTREAM_PEER_ISSUER",
            "DOWNSTREAM_PEER_FINGERPRINT_256",
            "DOWNSTREAM_PEER_SERIAL",
            "DOWNSTREAM_LOCAL_URI_SAN",
            "DOWNSTREAM_LOCAL_SUBJECT",
            "DOWNSTREAM_TLS_VERSION",
            "DOWNSTREAM_PEER_CERT_V_END",
          ].map((operator) => ({
            header: { key: operator.toLowerCase().replaceAll("_", "-"), value: `%${operator}%` },
          })),
        },
      ),
    ],
    exchanges: [secure("workload"), secure("both"), secure("none")],
  },
  {
    name: "R-80: over TLS the scheme is https",
    manager: { use_remote_address: true, append_x_forwarded_port: true },
    filterChain,
    exchanges: [secure("none"), secure("none", { "x-forwarded-proto": "http" })],
  },
];
