mod crash;
mod flow;
mod guards;
mod ladder;
mod world;
