/** The slow one: takes 20 ms, and every twentieth answer 300 ms. */
import { me, serve } from "./service.ts";

let requests = 0;

serve(async () => {
  requests += 1;
  await new Promise((resolve) => setTimeout(resolve, requests % 20 === 0 ? 300 : 20));
  return { status: 200, body: { from: me, teapot: 3, kettle: 0, cup: 41 } };
});
