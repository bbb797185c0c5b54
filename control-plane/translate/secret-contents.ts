/** What Secrets and ConfigMaps hold: certificates, keys, authorities; checked before anybody gets them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { MeshObject } from "../model/object.ts";
import { type Fields, fieldsOf, stringOf } from "../model/read-fields.ts";
import { compact, type JsonObject } from "./json.ts";
import { memoized } from "./memo.ts";

/** Fields of an Envoy Secret, or why there are none. */
export interface Extracted {
  readonly fields?: JsonObject;
  readonly problem?: string;
}

/** Its certificate and the key that belongs to it. */
export const certificateOf: (object: MeshObject) => Extracted = memoized((object: MeshObject): Extracted => {
  const data = dataOf(object);
  // Generic Secrets name them their own way.
  const [certificate, key] = ["cert", "key"].every((name) => data.has(name))
    ? [data.get("cert"), data.get("key")]
    : [data.get("tls.crt"), data.get("tls.key")];
  if (certificate === undefined || key === undefined) {
    return { problem: `it must have the keys tls.crt and tls.key, or cert and key; it has ${keysOf(data)}` };
  }
  const fault = pairFault(certificate, key);
  if (fault !== undefined) return { problem: fault };
  return {
    fields: {
      tlsCertificate: compact({
        certificateChain: { inlineBytes: certificate.toString("base64") },
        privateKey: { inlineBytes: key.toString("base64") },
        ocspStaple: bytesOf(data.get("tls.ocsp-staple")),
      }),
    },
  };
});

/** The CA that it holds. */
export const authorityOf: (object: MeshObject) => Extracted = memoized((object: MeshObject): Extracted => {
  const data = dataOf(object);
  const isGeneric = data.has("cacert");
  const authority = data.get(isGeneric ? "cacert" : "ca.crt");
  if (authority === undefined) return { problem: `it must have the key ca.crt or cacert; it has ${keysOf(data)}` };
  const fault = certificateFault(authority);
  if (fault !== undefined) return { problem: fault };
  return {
    fields: {
      validationContext: compact({
        trustedCa: { inlineBytes: authority.toString("base64") },
        crl: bytesOf(data.get(isGeneric ? "crl" : "ca.crl")),
      }),
    },
  };
});

function bytesOf(value: Buffer | undefined): JsonObject | undefined {
  return value === undefined ? undefined : { inlineBytes: value.toString("base64") };
}

/** `data` is base64; `stringData`, and a ConfigMap's `data`, plain text. Empty values count as absent. */
function dataOf({ kind, raw }: MeshObject): ReadonlyMap<string, Buffer> {
  const data = fieldsOf(raw["data"]);
  const isText = kind === "ConfigMap";
  const result = new Map<string, Buffer>();
  const add = (fields: Fields, encoding: "utf8" | "base64"): void => {
    for (const [key, value] of Object.entries(fields)) {
      const bytes = Buffer.from(stringOf(value) ?? "", encoding);
      if (bytes.length > 0) result.set(key, bytes);
    }
  };
  add(data, isText ? "utf8" : "base64");
  add(fieldsOf(raw[isText ? "binaryData" : "stringData"]), isText ? "base64" : "utf8");
  return result;
}

function keysOf(data: ReadonlyMap<string, unknown>): string {
  return data.size === 0 ? "none" : [...data.keys()].join(", ");
}

function certificateFault(pem: Buffer): string | undefined {
  try {
    void new X509Certificate(pem);
    return undefined;
  } catch {
    return "its certificate is no PEM certificate";
  }
}

function pairFault(certificate: Buffer, key: Buffer): string | undefined {
  const fault = certificateFault(certificate);
  if (fault !== undefined) return fault;
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
      ? undefined
      : "its private key is not that of its certificate";
  } catch {
    return "its private key can't be read";
  }
}
