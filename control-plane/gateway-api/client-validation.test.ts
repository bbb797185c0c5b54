import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { certificateToPem } from "#certs/certificate.ts";
import { privateKeyToPem } from "#certs/keys.ts";
import { selfSignedRoot } from "#certs/signing-material.ts";
import { parseManifests } from "../config/parse-manifests.ts";
import { buildMeshIndex } from "../model/build-mesh-index.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { readMeshConfig } from "../model/read-mesh-config.ts";
import type { GatewaySpec } from "../translate/spec/gateway.ts";
import { statusesByName } from "./statuses.ts";

const GROUP = "gateway.networking.k8s.io";
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const certificate = certificateToPem(selfSignedRoot(privateKey, "cluster.local", Date.UTC(2026, 0, 1)));
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const secret = JSON.stringify({
  apiVersion: "v1",
  kind: "Secret",
  metadata: { name: "c" },
  data: { "tls.crt": base64(certificate), "tls.key": base64(privateKeyToPem(privateKey)) },
});
const configMap = (name: string, text: string, namespace = "default"): string =>
  JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data: { "ca.crt": text } });
const ref = (name: string, more = ""): string => `{group: "", kind: ConfigMap, name: ${name}${more}}`;

function meshOf(frontend: string, ...objects: readonly string[]): MeshIndex {
  const gateway = `{apiVersion: ${GROUP}/v1, kind: Gateway, metadata: {name: edge}, spec: {gatewayClassName: istio, tls: {frontend: ${frontend}}, listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}]}}]}}`;
  const { objects: parsed } = parseManifests([gateway, secret, ...objects].join("\n---\n"), "test.yaml");
  return buildMeshIndex(parsed, readMeshConfig([]).meshConfig);
}

const tlsOf = (mesh: MeshIndex): unknown => mesh.objects<GatewaySpec>("Gateway")[0]?.spec.servers?.[0]?.tls;
const listenerOf = (mesh: MeshIndex): readonly string[] =>
  (statusesByName(mesh)["Gateway/default/edge"]?.listeners?.[0]?.conditions ?? []).map(
    ({ type, status, reason }) => `${type}=${status}/${reason}`,
  );
const good = configMap("ca", certificate);

describe("tls.frontend of a Gateway", () => {
  test("clients need a certificate of the CA", () => {
    expect(tlsOf(meshOf(`{default: {validation: {caCertificateRefs: [${ref("ca")}]}}}`, good))).toEqual({
      mode: "MUTUAL",
      credentialName: "kubernetes-gateway://default/c",
      caCertCredentialName: "configmap://default/ca",
    });
  });

  test("what a port says stands in place of the default", () => {
    const frontend = (port: number): string =>
      `{default: {validation: {caCertificateRefs: [${ref("ca")}]}}, perPort: [{port: ${port}, tls: {}}]}`;
    expect(tlsOf(meshOf(frontend(443), good))).toMatchObject({ mode: "SIMPLE" });
    expect(tlsOf(meshOf(frontend(8443), good))).toMatchObject({ mode: "MUTUAL" });
  });

  test("AllowInsecureFallback lets clients in without a certificate, and says so", () => {
    const mesh = meshOf(
      `{default: {validation: {mode: AllowInsecureFallback, caCertificateRefs: [${ref("ca")}]}}}`,
      good,
    );
    expect(tlsOf(mesh)).toMatchObject({ mode: "OPTIONAL_MUTUAL" });
    const conditions = statusesByName(mesh)["Gateway/default/edge"]?.conditions ?? [];
    expect(conditions.map(({ type, status }) => `${type}=${status}`)).toContain("InsecureFrontendValidationMode=True");
    expect(mesh.problems.some(({ message }) => message.includes("InsecureFrontendValidationMode"))).toBe(false);
  });

  test.each([
    ["that is not there", ref("nope"), "InvalidCACertificateRef"],
    ["without a certificate", ref("broken"), "InvalidCACertificateRef"],
    ["that is a Secret", `{group: "", kind: Secret, name: ca}`, "InvalidCACertificateKind"],
    ["of another namespace, without a grant", ref("ca", ", namespace: other"), "RefNotPermitted"],
  ])("with a CA %s the listener is closed", (_what, caRef, reason) => {
    const mesh = meshOf(
      `{default: {validation: {caCertificateRefs: [${caRef}]}}}`,
      good,
      configMap("broken", "no PEM"),
      configMap("ca", certificate, "other"),
    );
    expect(mesh.objects("Gateway")).toEqual([]);
    expect(listenerOf(mesh)).toEqual([
      "Accepted=False/NoValidCACertificate",
      "Conflicted=False/NoConflicts",
      "Programmed=False/Invalid",
      `ResolvedRefs=False/${reason}`,
    ]);
  });

  test("a grant opens another namespace; of several CAs the first that is good counts, the rest are told", () => {
    const grant = `{apiVersion: ${GROUP}/v1, kind: ReferenceGrant, metadata: {name: g, namespace: other}, spec: {from: [{group: ${GROUP}, kind: Gateway, namespace: default}], to: [{group: "", kind: ConfigMap, name: ca}]}}`;
    const mesh = meshOf(
      `{default: {validation: {caCertificateRefs: [${ref("nope")}, ${ref("ca", ", namespace: other")}, ${ref("ca")}]}}}`,
      good,
      configMap("ca", certificate, "other"),
      grant,
    );
    expect(tlsOf(mesh)).toMatchObject({ caCertCredentialName: "configmap://other/ca" });
    expect(mesh.problems.map(({ message }) => message).join()).toMatch(
      /default\/nope: there is no such ConfigMap; tls\.frontend: caCertificateRef ca is left out/,
    );
  });
});
