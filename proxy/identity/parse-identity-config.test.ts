import { describe, expect, test } from "vitest";
import { messageFromJson } from "#protos/json.ts";
import type { WorkloadIdentity } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";
import { parseIdentityConfig } from "./parse-identity-config.ts";

const GOOD = {
  ca_address: "istiod.istio-system.svc:15012",
  ca_root_certificate_file: "/etc/root.pem",
  token_file: "/var/token",
};

function parse(json: Readonly<Record<string, unknown>>) {
  const { value, problems } = messageFromJson("glassmesh.config.v1.WorkloadIdentity", json as never);
  if (value === undefined) throw new Error(problems.map(({ message }) => message).join());
  return parseIdentityConfig(value as WorkloadIdentity, "bootstrap_extensions[0].typed_config");
}

describe("glassmesh.config.v1.WorkloadIdentity", () => {
  test("defaults: cluster.local, P-256, a lifetime of the CA's choice", () => {
    expect(parse(GOOD)).toEqual({
      value: {
        caAddress: "istiod.istio-system.svc:15012",
        caRootCertificateFile: "/etc/root.pem",
        tokenFile: "/var/token",
        trustDomain: "cluster.local",
        keyType: "ECDSA_P256",
        requestedTtlMs: undefined,
      },
      problems: [],
    });
  });

  test("everything given is kept", () => {
    const { value } = parse({
      ...GOOD,
      ca_address: "[::1]:1",
      trust_domain: "example.org",
      key_type: "RSA_2048",
      requested_ttl: "60.5s",
    });
    expect(value).toMatchObject({
      caAddress: "[::1]:1",
      trustDomain: "example.org",
      keyType: "RSA_2048",
      requestedTtlMs: 60_500,
    });
  });

  test.each([
    [{ ca_address: "istiod" }, "ca_address"],
    [{ ca_address: "istiod:0" }, "ca_address"],
    [{ ca_address: "istiod:70000" }, "ca_address"],
    [{ ca_address: "http://istiod:15012" }, "ca_address"],
    [{ ca_root_certificate_file: "" }, "ca_root_certificate_file"],
    [{ token_file: "" }, "token_file"],
    [{ trust_domain: "Example.org" }, "trust_domain"],
    [{ key_type: 7 }, "key_type"],
    [{ requested_ttl: "0.5s" }, "requested_ttl"],
  ])("%j is refused at its field", (change, field) => {
    const { value, problems } = parse({ ...GOOD, ...change });
    expect(value).toBeUndefined();
    expect(problems).toEqual([
      expect.objectContaining({ code: "invalid-value", path: `bootstrap_extensions[0].typed_config.${field}` }),
    ]);
  });

  test.each(["unix:///run/agent.sock", "unix:/run/agent.sock", "/run/agent.sock"])(
    "%s is a Workload API's socket",
    (socket) => {
      expect(parse({ spiffe_workload_socket: socket, trust_domain: "a.test", token_file: "/var/token" })).toEqual({
        value: { socketPath: "/run/agent.sock", trustDomain: "a.test" },
        problems: [],
      });
    },
  );

  test.each([
    [{ spiffe_workload_socket: "agent.sock" }, "spiffe_workload_socket"],
    [{ spiffe_workload_socket: "tcp://127.0.0.1:8081" }, "spiffe_workload_socket"],
    [{ spiffe_workload_socket: "/s", ca_address: "istiod:15012" }, "ca_address"],
    [{ spiffe_workload_socket: "/s", ca_root_certificate_file: "/r" }, "ca_root_certificate_file"],
    [{ spiffe_workload_socket: "/s", requested_ttl: "60s" }, "requested_ttl"],
    [{ spiffe_workload_socket: "/s", key_type: "RSA_2048" }, "requested_ttl"],
    [{ spiffe_workload_socket: "/s", trust_domain: "X" }, "trust_domain"],
  ])("%j is refused at its field", (json, field) => {
    const { value, problems } = parse(json);
    expect(value).toBeUndefined();
    expect(problems).toEqual([
      expect.objectContaining({ code: "invalid-value", path: `bootstrap_extensions[0].typed_config.${field}` }),
    ]);
  });
});
