// Reads a JSON array of simulations, prints a JSON array of Allowed, ImplicitlyDenied,
// ExplicitlyDenied, or of what is wrong with the simulation.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const verdicts = []
for (const simulation of JSON.parse(readFileSync(0, 'utf8'))) {
  const answer = await runSimulation(simulation, {})
  verdicts.push(answer.overallResult ?? JSON.stringify(answer.errors))
}
console.log(JSON.stringify(verdicts))
