import { describe, expect, test } from "vitest";
import { parseManifests } from "../config/parse-manifests.ts";
import { validateObject } from "./validate-object.ts";

function found(spec: string, name = "gw"): readonly string[] {
  const text = `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: ${name}}, spec: ${spec}}`;
  const [object] = parseManifests(text, "gateway.yaml").objects;
  if (object === undefined) throw new Error("no object");
  return validateObject(object).map(({ level, path }) => `${level} ${path}`);
}

const server = (fields: string): readonly string[] =>
  found(`{selector: {istio: ingressgateway}, servers: [{${fields}}]}`);
const http = "port: {number: 80, name: http, protocol: HTTP}";
const https = "port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.com]";

describe("Gateway", () => {
  test.each([
    `${http}, hosts: ["*"]`,
    `${http}, hosts: [a.com, "*.b.com", ./c.com, "*/d.com", other/e.com]`,
    `${http}, hosts: [a.com], tls: {httpsRedirect: true}`,
    `${https}, tls: {mode: SIMPLE, credentialName: a}`,
    `${https}, tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /a}`,
    `${https}, tls: {mode: ISTIO_MUTUAL}`,
    `${https}, tls: {mode: PASSTHROUGH}`,
    "port: {number: 27017, name: m, protocol: MONGO}, hosts: [m.com]",
  ])("%s is taken without a word", (fields) => {
    expect(server(fields)).toEqual([]);
  });

  test.each([
    [`${http}`, "error spec.servers[0].hosts"],
    [`${http}, hosts: [a*.com]`, "error spec.servers[0].hosts[0]"],
    [`${http}, hosts: [/a.com]`, "error spec.servers[0].hosts[0]"],
    [`${http}, hosts: [a.com], bind: "unix:///s"`, "error spec.servers[0].bind"],
    [`${http}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: a}`, "error spec.servers[0].tls"],
    ["port: {number: 80, name: x, protocol: QUIC}, hosts: [a.com]", "error spec.servers[0].port.protocol"],
    ["port: {number: 99999, name: x, protocol: HTTP}, hosts: [a.com]", "error spec.servers[0].port.number"],
    [`${https}`, "error spec.servers[0].tls"],
    [`${https}, tls: {mode: SIMPLE}`, "error spec.servers[0].tls.credentialName"],
    [
      `${https}, tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k}`,
      "error spec.servers[0].tls.caCertificates",
    ],
    [`${https}, tls: {mode: SIMPLE, serverCertificate: /c}`, "error spec.servers[0].tls.privateKey"],
    [`${https}, tls: {mode: ISTIO_MUTUAL, privateKey: /k}`, "error spec.servers[0].tls.privateKey"],
    [
      `${https}, tls: {mode: SIMPLE, credentialName: a, httpsRedirect: true}`,
      "warning spec.servers[0].tls.httpsRedirect",
    ],
    [
      `${https}, tls: {mode: SIMPLE, credentialName: a, cipherSuites: [bogus]}`,
      "warning spec.servers[0].tls.cipherSuites[0]",
    ],
  ])("%s: %s", (fields, finding) => {
    expect(server(fields)).toContain(finding);
  });

  test("two ports of one name are refused", () => {
    const one = `{${http}, hosts: [a.com]}`;
    expect(found(`{selector: {a: b}, servers: [${one}, ${one}]}`)).toEqual(["error spec.servers[1].port.name"]);
  });

  test("a name with dots would not fit into the names of its routes", () => {
    expect(found(`{selector: {a: b}, servers: [{${http}, hosts: [a.com]}]}`, "a.b")).toEqual(["error metadata.name"]);
  });

  test("without a selector it is for every gateway: somebody should know", () => {
    expect(found(`{servers: [{${http}, hosts: [a.com]}]}`)).toEqual(["info spec.selector"]);
  });
});
