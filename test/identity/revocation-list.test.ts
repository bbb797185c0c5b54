import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { revocationListsFromPem } from "#certs/revocation-list.ts";
import { needProgram } from "../needs.ts";

const openssl = needProgram("openssl", "apt-get install openssl");

test.skipIf(openssl.missing !== undefined)("a revocation list that openssl made is read", async () => {
  const directory = mkdtempSync(join(tmpdir(), "glassmesh-crl-"));
  const at = (name: string): string => join(directory, name);
  const { material } = await openSelfSignedRoot(directory, "example.org", Date.now());
  writeFileSync(at("index.txt"), "R\t301231235959Z\t260101000000Z\t0ABC\tunknown\t/O=x\n");
  writeFileSync(at("number"), "01\n");
  const settings = [
    `database=${at("index.txt")}`,
    `crlnumber=${at("number")}`,
    "default_md=sha256",
    "default_crl_days=9",
  ];
  writeFileSync(at("openssl.cnf"), `[ca]\ndefault_ca=d\n[d]\n${settings.join("\n")}\n`);
  const files = ["-cert", at("ca-cert.pem"), "-keyfile", at("ca-key.pem"), "-out", at("made.pem")];
  execFileSync(openssl.path, ["ca", "-gencrl", "-config", at("openssl.cnf"), ...files], { stdio: "pipe" });
  const [list] = revocationListsFromPem(readFileSync(at("made.pem"), "utf8"), "made.pem");
  expect([list?.issuerText, [...(list?.revoked ?? [])]]).toEqual([material.certificate.subjectText, ["0abc"]]);
  rmSync(directory, { recursive: true });
});
