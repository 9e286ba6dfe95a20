// A backend that tells Tidegate who its users are, in two ways: GET /token signs a token
// for a user, and POST /tidegate answers when Tidegate asks whose a cookie is.
//
//   PORT=3000 JWT_SECRET=… WEBHOOK_SECRET=… node login.mjs

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const { PORT = "3000", JWT_SECRET, WEBHOOK_SECRET } = process.env;
const sessions = new Map(); // replace with your session store: cookie to user

createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  const answer = (status, body = "", headers = {}) => response.writeHead(status, headers).end(body);
  const body = Buffer.concat(await request.toArray());
  switch (`${request.method} ${url.pathname}`) {
    case "POST /login": { // check a password here
      const id = randomBytes(16).toString("hex");
      sessions.set(id, url.searchParams.get("user"));
      return answer(204, "", { "Set-Cookie": `session=${id}; HttpOnly; SameSite=Lax; Path=/` });
    }
    case "GET /token": {
      const user = userOf(request.headers.cookie);
      return user ? answer(200, sign({ sub: user, exp: Math.floor(Date.now() / 1000) + 600 })) : answer(401, "log in first");
    }
    case "POST /tidegate": {
      if (!isGenuine(request.headers["tidegate-signature"], body)) return answer(401, "who are you?");
      const question = JSON.parse(body);
      if (question.event !== "connect" || question.user) return answer(204); // a token has already identified the user
      const user = userOf(question.headers?.Cookie?.[0]);
      const verdict = user ? { allow: true, user } : { allow: false, code: "unauthenticated", message: "log in first" };
      return answer(200, JSON.stringify(verdict), { "Content-Type": "application/json" });
    }
  }
  answer(404);
}).listen(Number(PORT), "127.0.0.1");

function userOf(cookies = "") {
  return sessions.get(cookies.match(/(?:^|; )session=([0-9a-f]+)/)?.[1]);
}

function sign(claims) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${text}.${createHmac("sha256", JWT_SECRET).update(text).digest("base64url")}`;
}

function isGenuine(header = "", body) { // Tidegate-Signature: t=1700000000,v1=5257a8…
  const { t, v1 = "" } = Object.fromEntries(header.split(",").map((part) => part.split("=")));
  const expected = createHmac("sha256", WEBHOOK_SECRET).update(`${t}.`).update(body).digest();
  const given = Buffer.from(v1, "hex");
  return given.length === expected.length && timingSafeEqual(given, expected) && Math.abs(Date.now() / 1000 - t) < 300;
}
