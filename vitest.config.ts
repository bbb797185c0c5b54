import { defineConfig } from "vitest/config";
import { needEnvoy } from "./test/needs.ts";

/** What a mesh answers must not depend on whose proxies it runs: these tests run again over real Envoys. */
const overEnvoys = [
  "tokens",
  "routing",
  "requests",
  "security",
  "authorization",
  "seeds",
  "gateways",
  "gateways-between-meshes",
  "gateways-trust",
  "jwt",
  "gateway-api",
];

const envoy = needEnvoy();
if (envoy.missing !== undefined)
  process.stderr.write(`end to end tests over real Envoys are left out: ${envoy.missing}\n`);

/** Unit and simulation tests stand beside their files; `test/` holds what crosses rooms. */
export default defineConfig({
  test: {
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: "glassmesh",
          include: ["{lib,protos,certs,proxy,control-plane,cli,test,examples}/**/*.test.ts"],
        },
      },
      ...(envoy.missing === undefined
        ? [
            {
              extends: true as const,
              test: {
                name: "envoy",
                include: overEnvoys.map((name) => `test/e2e/${name}.test.ts`),
                env: { GLASSMESH_DATA_PLANE: "envoy" },
              },
            },
          ]
        : []),
    ],
  },
});
